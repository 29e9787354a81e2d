"""Type of a column, as it is recorded in ``params.yaml``."""

from dataclasses import dataclass

KINDS = ("number", "integer", "boolean", "text", "datetime")


@dataclass(frozen=True)
class ColumnType:
    """Kind of a column, and the form of its times if it is not ISO 8601.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    form : str
        Format codes of strptime such as ``%d/%m/%Y``, or a unit such as ``epoch-s``; empty for ISO 8601.
    """

    kind: str
    form: str = ""

    @classmethod
    def parse(cls, text: str) -> "ColumnType":
        """Parse the output of ``str``.

        Raises
        ------
        ValueError
            If the kind is unknown, or a column other than a time has a form.
        """
        kind, _, form = text.partition(" ")
        if kind not in KINDS or (form and kind != "datetime"):
            raise ValueError(f"must be one of {', '.join(KINDS)}; a datetime may be followed by its form")
        return cls(kind, form)

    def __str__(self) -> str:
        return f"{self.kind} {self.form}".strip()
