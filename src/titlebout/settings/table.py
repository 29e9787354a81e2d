"""What all tables of the configuration files have in common."""

from pydantic import BaseModel, ConfigDict, JsonValue

# Most projects never change such a key: the reference lists it apart, and generated files leave it out.
ADVANCED: dict[str, JsonValue] = {"advanced": True}


class Table(BaseModel):
    """Base class of a configuration table: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def positive(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers if each of them is at least 1.

    Raises
    ------
    ValueError
        If a number is smaller.
    """
    if any(number < 1 for number in numbers):
        raise ValueError("must contain only whole numbers of at least 1")
    return numbers
