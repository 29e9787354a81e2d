"""The service inside a bento: typed rows in, predictions out, with types made from the model's manifest."""

import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Self, Union

import pandas as pd
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticCustomError
from starlette.types import ASGIApp

from titlebout.core.arrays import FloatArray
from titlebout.core.results import read_json
from titlebout.models.artifact import Model, load_model
from titlebout.serving.middleware import PREDICT, Guard, without_values


@contextmanager
def _old_ways() -> Iterator[None]:
    """Ignore what bentoml 1.4 is warned of by pathspec (its ignore patterns) and by pydantic (its models)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "GitWildMatchPattern", DeprecationWarning)
        warnings.filterwarnings("ignore", "The `__get_pydantic_core_schema__` method", DeprecationWarning)
        yield


with _old_ways():
    from bentoml import Service, api, service
    from bentoml.exceptions import BentoMLException

MAX_ROWS = 10_000
MAX_COMPLAINTS = 1_000
# Years that a 64-bit count of nanoseconds, which pandas uses, can hold in full.
YEARS = range(1678, 2262)
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _iso_text(value: object) -> object:
    """Refuse numbers, and text that pydantic would read as seconds since 1970.

    Raises
    ------
    PydanticCustomError
        If it does not begin like an ISO 8601 date.
    """
    if not isinstance(value, str) or not ISO_DATE.match(value):
        raise PydanticCustomError("iso_8601", "Input should be a date and time in ISO 8601, as a string")
    return value


def _as_utc(value: datetime) -> datetime:
    """Read a time without zone as UTC.

    Raises
    ------
    PydanticCustomError
        If the year is one that pandas cannot hold.
    """
    if value.year not in YEARS:
        raise PydanticCustomError("year", f"Input should be of a year from {YEARS[0]} to {YEARS[-1]}")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Finite = Annotated[float, Field(allow_inf_nan=False)]

TYPES: Mapping[str, Any] = {
    "number": Annotated[float, Field(strict=True, allow_inf_nan=False)],
    "integer": Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)],
    "boolean": Annotated[bool, Field(strict=True)],
    "text": Annotated[str, Field(strict=True)],
    "datetime": Annotated[datetime, BeforeValidator(_iso_text), AfterValidator(_as_utc)],
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Request(_Strict):
    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Read a request; a row of a million unknown columns must not become a million complaints.

        Raises
        ------
        ValidationError
            If it does not have the form.
        """
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            if error.error_count() <= MAX_COMPLAINTS:
                raise
        flood = PydanticCustomError("flood", f"More than {MAX_COMPLAINTS} values are wrong")
        flooded = ValidationError.from_exception_data("Request", [{"type": flood, "loc": ("rows",), "input": None}])
        raise flooded


def request_type(columns: Sequence[Mapping[str, Any]]) -> type[BaseModel]:
    """Return the type of a request body for the columns of a manifest.

    Parameters
    ----------
    columns : sequence of mappings
        ``name``, ``kind`` and ``nullable`` of every input column; a nullable one may be null or left out.

    Returns
    -------
    type
        With one field ``rows``: 1 to `MAX_ROWS` rows; no other field, and no other column, is allowed.
    """
    fields: dict[str, Any] = {}
    for position, column in enumerate(columns):
        kind, name = TYPES[column["kind"]], column["name"]
        # a column may be called like anything, also like a method of pydantic's, so its name is only an alias
        fields[f"column_{position}"] = (
            (kind | None, Field(None, alias=name)) if column["nullable"] else (kind, Field(alias=name))
        )
    row: Any = create_model("Row", __base__=_Strict, **fields)
    # the first wrong row is enough to tell: 10,000 of them would be a megabyte of complaints
    rows = Annotated[list[row], Field(min_length=1, max_length=MAX_ROWS), FailFast()]
    return create_model("Request", __base__=_Request, rows=(rows, Field()))


def answer_type(classes: Sequence[object]) -> type[BaseModel]:
    """Return the type of an answer: per row a label and the probability of each class, or, without classes, a value."""
    fields: dict[str, Any] = {"value": Finite}
    if classes:
        # of the labels' own types, because BentoML's schema tells only the first of a choice of types
        label: Any = Union[tuple(dict.fromkeys(map(type, classes)))]  # noqa: UP007
        fields = {"label": label, "probabilities": dict[str, Finite]}
    prediction: Any = create_model("Prediction", __base__=_Strict, **fields)
    return create_model("Answer", __base__=_Strict, predictions=list[prediction], model=str)


class GuardedService(Service[Any]):  # type: ignore[misc] # bentoml is not followed by mypy
    """A BentoML service that nothing reaches without passing the guard."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Return the application that the server runs."""
        return Guard(super().to_asgi(is_main))


@_old_ways()
def make_service(folder: Path, name: str, package: str) -> GuardedService:
    """Return the service of a model folder; the weights are loaded when it starts, not before.

    Parameters
    ----------
    folder : Path
        Model folder, see :mod:`titlebout.models.artifact`.
    name : str
    package : str
        Import name of the team's code, whose types may be part of the model.
    """
    manifest = read_json(folder / "manifest.json")
    request, answer = request_type(manifest["columns"]), answer_type(manifest["classes"])
    envs = [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "OPENBLAS_NUM_THREADS", "value": "1"}]

    @service(name=name, envs=envs, service_class=GuardedService, logging={"access": {"enabled": False}})
    class Predictor:
        def __init__(self) -> None:
            self.model = load_model(folder, package)
            # bentoml logs every refused request with the values that were sent
            logging.getLogger("bentoml._internal.server.http_app").addFilter(without_values)
            # and its servers show nothing below a warning that is not its own
            logging.getLogger("titlebout.serving.middleware").setLevel(logging.INFO)

        @api(route=PREDICT, input_spec=request, output_spec=answer)  # type: ignore[untyped-decorator]
        def predict(self, rows: list[BaseModel]) -> BaseModel:
            """Predict one label or value per row."""
            return predict(self.model, rows, answer)

    return Predictor  # type: ignore[return-value]


def predict(model: Model, rows: Sequence[BaseModel], answer: type[BaseModel]) -> BaseModel:
    """Answer rows of the type that :func:`request_type` made.

    Raises
    ------
    BentoMLException
        Status 422, if the estimator refuses them (a category it was told not to accept) or gives no finite number.
    """
    columns = {name: [getattr(row, f"column_{i}") for row in rows] for i, name in enumerate(model.kinds)}
    try:
        predictions = _predictions(model, model.predict(pd.DataFrame(columns, dtype=object)))
        return answer.model_validate({"predictions": predictions, "model": model.manifest["sha256"]})
    except ValueError as error:
        raise BentoMLException("", error_code=HTTPStatus.UNPROCESSABLE_ENTITY) from error


def _predictions(model: Model, answers: FloatArray) -> list[dict[str, Any]]:
    if not model.classes:
        return [{"value": value} for value in answers.tolist()]
    names = [label if isinstance(label, str) else json.dumps(label) for label in model.classes]
    return [
        {"label": model.classes[int(row.argmax())], "probabilities": dict(zip(names, row.tolist(), strict=True))}
        for row in answers
    ]
