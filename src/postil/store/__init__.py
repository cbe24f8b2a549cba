"""What happened, durably, and queries over it."""

from postil.store.journal import Imported, Intent, Journal
from postil.store.queries import LostRequest, Reply, Spending, StoredOutcome, Unseen

__all__ = ["Imported", "Intent", "Journal", "LostRequest", "Reply", "Spending", "StoredOutcome", "Unseen"]
