"""The parts of the generated model that depend on its loss."""

from dataclasses import dataclass

_IMPORTS = (
    "import numpy as np",
    "from sklearn.impute import SimpleImputer",
    "from sklearn.pipeline import Pipeline, make_pipeline",
    "from sklearn.preprocessing import (\n    FunctionTransformer,\n    OneHotEncoder,\n    OrdinalEncoder,\n    RobustScaler,\n"
    "    StandardScaler,\n)",
    "from titlebout.models.selection import OneStandardErrorSearch",
)
_TRANSFORMED = "from sklearn.compose import TransformedTargetRegressor, make_column_transformer"
_PLAIN = "from sklearn.compose import make_column_transformer"
_REGRESSOR = "from sklearn.ensemble import HistGradientBoostingRegressor"


@dataclass(frozen=True)
class StarterModel:
    """Source code of one kind of first model.

    Attributes
    ----------
    imports : tuple of str
        Import statements besides those of every kind.
    linear : str
        Statements that make the linear model from ``strength``, and from ``seed`` if `seeded`.
    boosting : str
        Class of the gradient boosting model.
    regularization : tuple of float
        Strengths to try, the strongest first, in the unit of the linear model.
    seeded : bool
        Whether the linear model takes a random state.
    """

    imports: tuple[str, ...]
    linear: str
    boosting: str = "HistGradientBoostingRegressor"
    regularization: tuple[float, ...] = (100.0, 10.0, 1.0)
    seeded: bool = False

    def substitutions(self, loss: str) -> dict[str, str]:
        """Return the values of the placeholders of the template."""
        imports = (*_IMPORTS, *self.imports)
        return {
            "imports": "\n".join(sorted(imports, key=_isort_key)),
            "linear": "\n".join(f"    {line}" for line in self.linear.splitlines()),
            "linear_seed": ", seed" if self.seeded else "",
            "linear_parameter": ", seed: int" if self.seeded else "",
            "boosting": self.boosting,
            "boosting_loss": f'loss="{loss}",',
            "loss": loss,
        }


def _isort_key(statement: str) -> tuple[bool, str]:
    return statement.startswith("from"), statement.split()[1]


STARTER_MODELS = {
    "log_loss": StarterModel(
        imports=(
            _PLAIN,
            "from sklearn.ensemble import HistGradientBoostingClassifier",
            "from sklearn.linear_model import LogisticRegression",
        ),
        linear="model = LogisticRegression(C=1 / strength, max_iter=1000)",
        boosting="HistGradientBoostingClassifier",
    ),
    "squared_error": StarterModel(
        imports=(_PLAIN, _REGRESSOR, "from sklearn.linear_model import Ridge"),
        linear="model = Ridge(alpha=strength)",
    ),
    # The median of a transformed target is the transformed median, so the target may be made less skewed.
    "absolute_error": StarterModel(
        imports=(_TRANSFORMED, _REGRESSOR, "from sklearn.svm import LinearSVR"),
        linear="""\
# With epsilon 0 its loss is the absolute error.
median = LinearSVR(C=1 / strength, max_iter=10_000, random_state=seed)
model = TransformedTargetRegressor(
    median, transformer=make_pipeline(RobustScaler(), FunctionTransformer(np.arcsinh, np.sinh))
)""",
        seeded=True,
    ),
    "poisson": StarterModel(
        imports=(_TRANSFORMED, _REGRESSOR, "from sklearn.linear_model import PoissonRegressor"),
        linear="""\
amount = PoissonRegressor(alpha=strength, solver="newton-cholesky")
model = TransformedTargetRegressor(amount, transformer=StandardScaler(with_mean=False))""",
        regularization=(0.1, 0.01, 0.001),
    ),
}
