"""Which of the two prompt languages a text is written in."""

from postil.tasks import Language


def language_of(text: str) -> Language:
    """Return "zh" if at least one letter in ten is a Han character, else "en"."""
    letters = [character for character in text if character.isalpha()]
    han = sum("\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf" for character in letters)
    return "zh" if han and han * 10 >= len(letters) else "en"
