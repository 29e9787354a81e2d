"""Extract the operations of the stand-in from GitHub's OpenAPI description.

npm pack @octokit/openapi@23 && tar xzf octokit-openapi-*.tgz
python tests/fakes/make_openapi_subset.py package
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("github-openapi.json")
REPOSITORY = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/pulls": ("get", "post"),
    "/pulls/{pull_number}": ("get", "patch"),
    "/issues": ("get", "post"),
    "/issues/{issue_number}": ("get", "patch"),
    "/issues/{issue_number}/labels": ("get", "post"),
    "/issues/{issue_number}/comments": ("get", "post"),
    "/issues/comments/{comment_id}": ("patch",),
    "/statuses/{sha}": ("post",),
    "/commits/{ref}/status": ("get",),
}
PROSE = {"summary", "example", "examples", "externalDocs", "tags", "title"}
NAMED_BY_USERS = {"properties", "schemas", "parameters", "responses", "headers"}


def without_prose(node: Any, *, named: bool = False) -> Any:
    """Remove prose; the keys of a ``named`` node are names, not OpenAPI keywords.

    Descriptions become empty rather than absent, because OpenAPI requires one for every response.
    """
    if isinstance(node, list):
        return [without_prose(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if named or (key not in PROSE and not key.startswith("x-"))}
    if isinstance(kept.get("description"), str):
        kept["description"] = ""
    return {key: without_prose(value, named=not named and key in NAMED_BY_USERS) for key, value in kept.items()}


def references(node: Any) -> Iterator[str]:
    """Yield every component that ``node`` refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def subset(description: dict[str, Any], package: dict[str, Any], licence: str) -> dict[str, Any]:
    """Return the operations above with the components that they refer to."""
    paths = {
        REPOSITORY + path: {
            method: without_prose(description["paths"][REPOSITORY + path][method]) for method in methods
        }
        for path, methods in OPERATIONS.items()
    }
    components: dict[str, dict[str, Any]] = {}
    pending = list(references(paths))
    while pending:
        _, _, kind, name = pending.pop().split("/")
        if name not in components.setdefault(kind, {}):
            components[kind][name] = without_prose(description["components"][kind][name])
            pending.extend(references(components[kind][name]))
    return {
        "openapi": description["openapi"],
        "info": {
            "title": "A subset of GitHub's REST API",
            "version": package["version"],
            "description": f"Cut by {Path(__file__).name} from the npm package {package['name']} {package['version']} "
            "(generated/api.github.com.json): the operations the stand-in serves and the components they reach. "
            "Examples, titles, the text of descriptions and x- extensions are left out; nothing else was changed.",
            "license": {"name": package["license"], "x-text": licence},
        },
        "servers": description["servers"],
        "paths": paths,
        "components": components,
    }


def main(folder: Path) -> None:
    description = json.loads((folder / "generated" / "api.github.com.json").read_text(encoding="utf-8"))
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    licence = (folder / "LICENSE").read_text(encoding="utf-8")
    document = json.dumps(subset(description, package, licence), indent=1, sort_keys=True, ensure_ascii=False)
    TARGET.write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
