"""The model: an unfitted scikit-learn pipeline. titlebout fits it, gates it and packages it."""

from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from flights_delay.features import CALENDAR, CATEGORICAL, NUMERIC, add_calendar


def build_model(seed: int, learning_rate: float, max_iter: int) -> Pipeline:
    """Return an unfitted pipeline from raw columns to the probability of a late arrival.

    Parameters
    ----------
    seed : int
    learning_rate, max_iter
        From ``hyperparameters`` in ``pipelines/flights-delay/params.yaml``.
    """
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=100)
    columns = make_column_transformer((encode, CATEGORICAL), ("passthrough", NUMERIC + CALENDAR))
    classifier = HistGradientBoostingClassifier(
        learning_rate=learning_rate,
        max_iter=max_iter,
        max_leaf_nodes=4,
        min_samples_leaf=60,
        l2_regularization=5.0,
        categorical_features=list(range(len(CATEGORICAL))),
        random_state=seed,
    )
    return make_pipeline(FunctionTransformer(add_calendar), columns, classifier)
