"""What is read from act's log does not depend on the order in which parallel jobs end."""

import json

from titlebout.forge.act import _EventReader


def event(job: str, **fields: str) -> str:
    return json.dumps({"jobID": job, **fields})


def test_jobs_and_their_summaries_are_in_the_order_of_ids() -> None:
    reader = _EventReader(None)
    for line in (
        event("model", command="summary", content="### Training"),
        event("code", command="summary", content="### Doctor"),
        event("model", command="summary", content="### Training"),  # for the composite action, again
        event("model", command="summary", content="### Gate"),
        event("model", jobResult="success"),
        event("code", jobResult="success"),
    ):
        reader.read(line)

    assert [*reader.jobs] == ["code", "model"]
    assert reader.summaries() == ("### Doctor", "### Training", "### Gate")
