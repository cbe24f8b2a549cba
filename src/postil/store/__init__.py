"""What happened, durably, and queries over it."""

from postil.store.journal import Imported, Intent, Journal, Spending, StoredOutcome

__all__ = ["Imported", "Intent", "Journal", "Spending", "StoredOutcome"]
