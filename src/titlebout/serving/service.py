"""The BentoML service of a model: request and response types follow from the manifest of the model."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Self, Union

import pandas as pd
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    WithJsonSchema,
    create_model,
)
from pydantic_core import PydanticCustomError
from starlette.types import ASGIApp

from titlebout.core.results import read_json
from titlebout.data.times import is_number, parse_time
from titlebout.models.artifact import Model, load_model
from titlebout.serving.middleware import PREDICT, RequestGuardMiddleware, redact_exception


@contextmanager
def _ignore_upstream_warnings() -> Iterator[None]:
    """Ignore the deprecation warnings that bentoml 1.4 causes in pathspec (ignore patterns) and pydantic (models)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "GitWildMatchPattern", DeprecationWarning)
        warnings.filterwarnings("ignore", "The `__get_pydantic_core_schema__` method", DeprecationWarning)
        yield


with _ignore_upstream_warnings():
    from bentoml import Service, api, service
    from bentoml.exceptions import BentoMLException

MAX_ROWS = 10_000
MAX_ERRORS = 1_000


def _read_time(form: str) -> Callable[[object], datetime]:
    """Return a function that reads a time as the data is read: ISO 8601, or the recorded form of the column."""

    def read(value: object) -> datetime:
        """Read a time.

        Raises
        ------
        PydanticCustomError
            If the value is not a time.
        """
        moment = parse_time(value, form)
        if moment is None:
            also = f", or of the form {form}" if form else ""
            raise PydanticCustomError("not_a_time", f"Input should be a time in ISO 8601{also}")
        return moment

    return read


Finite = Annotated[float, Field(allow_inf_nan=False)]

TYPES: Mapping[str, Any] = {
    "number": Annotated[float, Field(strict=True, allow_inf_nan=False)],
    "integer": Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)],
    "boolean": Annotated[bool, Field(strict=True)],
    "text": Annotated[str, Field(strict=True)],
    "datetime": Annotated[datetime, BeforeValidator(_read_time(""))],
}


def _field_type(column: Mapping[str, Any]) -> Any:
    """Return the type of a column's values in a request."""
    form = column.get("form", "")
    if not form:
        return TYPES[column["kind"]]
    accepted = [{"type": "string", "format": "date-time"}, {"type": "number" if is_number(form) else "string"}]
    schema = WithJsonSchema({"anyOf": accepted, "description": f"ISO 8601, or {form}"})
    return Annotated[datetime, BeforeValidator(_read_time(form)), schema]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Request(_Strict):
    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Parse a request body; many errors, as from a row of a million unknown columns, become a single one.

        Raises
        ------
        ValidationError
            If the body does not match the schema.
        """
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            if error.error_count() <= MAX_ERRORS:
                raise
        error_type = PydanticCustomError("too_many_errors", f"Request has more than {MAX_ERRORS} invalid values")
        summary_error = ValidationError.from_exception_data(
            "Request", [{"type": error_type, "loc": ("rows",), "input": None}]
        )
        raise summary_error


def request_type(columns: Sequence[Mapping[str, Any]]) -> type[BaseModel]:
    """Return the type of a request body for the columns of a manifest.

    Parameters
    ----------
    columns : sequence of mappings
        ``name``, ``kind`` and ``nullable`` of every input column; a nullable one may be null or left out. A time may have a
        ``form`` beside ISO 8601.

    Returns
    -------
    type
        Has one field ``rows`` with 1 to `MAX_ROWS` rows; unknown fields and columns are errors.
    """
    fields: dict[str, Any] = {}
    for position, column in enumerate(columns):
        field_type, name = _field_type(column), column["name"]
        # The column name is an alias, because it may equal a method name of pydantic, such as "copy".
        fields[f"column_{position}"] = (
            (field_type | None, Field(None, alias=name)) if column["nullable"] else (field_type, Field(alias=name))
        )
    row: Any = create_model("Row", __base__=_Strict, **fields)
    # Validation stops at the first invalid row: the errors of 10,000 rows would be a response of a megabyte.
    rows = Annotated[list[row], Field(min_length=1, max_length=MAX_ROWS), FailFast()]
    return create_model("Request", __base__=_Request, rows=(rows, Field()))


def response_type(classes: Sequence[object]) -> type[BaseModel]:
    """Return the type of a response: per row a label and the probability of each class, or a value for regression."""
    fields: dict[str, Any] = {"value": Finite}
    if classes:
        # A union of the types that occur only, because BentoML's schema shows just the first type of a union.
        label: Any = Union[tuple(dict.fromkeys(map(type, classes)))]  # noqa: UP007
        fields = {"label": label, "probabilities": dict[str, Finite]}
    prediction: Any = create_model("Prediction", __base__=_Strict, **fields)
    return create_model("Answer", __base__=_Strict, predictions=list[prediction], model=str)


class ProtectedService(Service[Any]):  # type: ignore[misc] # bentoml is not followed by mypy
    """A BentoML service behind :class:`RequestGuardMiddleware`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Return the application that the server runs."""
        return RequestGuardMiddleware(super().to_asgi(is_main))


@_ignore_upstream_warnings()
def make_service(folder: Path, name: str, package: str) -> ProtectedService:
    """Return the service of a model folder; the weights are loaded when the service starts.

    Parameters
    ----------
    folder : Path
        Model folder, see :mod:`titlebout.models.artifact`.
    name : str
        Name of the service.
    package : str
        Import name of the team's code, whose types may be part of the model.
    """
    manifest = read_json(folder / "manifest.json")
    request, response = request_type(manifest["columns"]), response_type(manifest["classes"])
    envs = [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "OPENBLAS_NUM_THREADS", "value": "1"}]

    @service(name=name, envs=envs, service_class=ProtectedService, logging={"access": {"enabled": False}})
    class Predictor:
        def __init__(self) -> None:
            self.model = load_model(folder, package)
            # bentoml logs every rejected request with the values of the client
            logging.getLogger("bentoml._internal.server.http_app").addFilter(redact_exception)
            # bentoml's servers hide records of other loggers below WARNING
            logging.getLogger("titlebout.serving.middleware").setLevel(logging.INFO)

        @api(route=PREDICT, input_spec=request, output_spec=response)  # type: ignore[untyped-decorator]
        def predict(self, rows: list[BaseModel]) -> BaseModel:
            """Predict one label or value per row."""
            return predict(self.model, rows, response)

    return Predictor  # type: ignore[return-value]


def to_frame(names: Sequence[str], rows: Sequence[BaseModel]) -> pd.DataFrame:
    """Return the rows of a request as a table with the named columns, which are those of :func:`request_type`."""
    columns = {name: [getattr(row, f"column_{i}") for row in rows] for i, name in enumerate(names)}
    return pd.DataFrame(columns, dtype=object)


def predict(model: Model, rows: Sequence[BaseModel], response: type[BaseModel]) -> BaseModel:
    """Predict rows of the type returned by :func:`request_type`.

    Raises
    ------
    BentoMLException
        Status 422, if the estimator rejects a row (for example an unknown category) or a prediction is not finite.
    """
    try:
        predictions = _predictions(model, to_frame(list(model.kinds), rows))
        return response.model_validate({"predictions": predictions, "model": model.digest})
    except ValueError as error:
        raise BentoMLException("", error_code=HTTPStatus.UNPROCESSABLE_ENTITY) from error


def _predictions(model: Model, frame: pd.DataFrame) -> list[dict[str, Any]]:
    if unfilled := model.unfilled(frame):
        raise ValueError(f"no value in {', '.join(unfilled)}")  # an empty text, or a word for a missing value
    predicted = model.predict(frame)
    if not model.classes:
        return [{"value": value} for value in predicted.tolist()]
    names = [label if isinstance(label, str) else json.dumps(label) for label in model.classes]
    return [
        {"label": label, "probabilities": dict(zip(names, row.tolist(), strict=True))}
        for label, row in zip(model.labels(frame, predicted), predicted, strict=True)
    ]
