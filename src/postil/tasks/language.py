"""Which of the two prompt languages a text is written in."""

from postil.tasks import Language


def language_of(*texts: str) -> Language:
    """Return the language of the first text that has letters: "zh" if one in ten is a Han character, else "en".

    What comes later counts only where all before it have none: a question in Chinese is one, whatever its labels.
    """
    for text in texts:
        letters = [character for character in text if character.isalpha()]
        han = sum("\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf" for character in letters)
        if letters:
            return "zh" if han * 10 >= len(letters) else "en"
    return "en"
