"""What the test server's language model says: a few fixed rules, so that a test knows the answer. It is aware of the
history, in that it counts the caller's turns. Nothing is random and nothing is remembered between requests."""

# Stands for the caller where the agent has spoken first: nobody said it.
CONNECTED = "[The call is connected.]"

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def answer(messages: list[dict]) -> str:
    """The answer to a conversation, in sentences. Its last message is the caller's newest; earlier ones are history."""
    said = [message.get("content") or "" for message in messages if message.get("role") == "user"]
    said = [text for text in said if text != CONNECTED]
    text = said[-1].strip().rstrip(".?!") if said else ""
    if not text:
        return "I did not hear anything. Please say it again."
    if "how many" in text.lower():
        return f"You have spoken {number(len(said))} times. That is all that I remember."
    return f"You said: {text}. This is turn number {number(len(said))}."


def pieces(text: str) -> list[str]:
    """The text as a model streams it: word by word, each with the space before it."""
    words = text.split(" ")
    return [word if index == 0 else " " + word for index, word in enumerate(words)]
