"""What all tables of the configuration have in common."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def positive(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Return a list of whole numbers if all of them are at least 1.

    Raises
    ------
    ValueError
        If one is not.
    """
    if any(number < 1 for number in numbers):
        raise ValueError("write whole numbers from 1 on")
    return numbers
