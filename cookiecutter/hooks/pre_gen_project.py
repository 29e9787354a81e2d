"""Validate the answers before anything is written, so that no broken or unsafe repository is generated."""

import json
import os
import re
import sys
from pathlib import Path

# As JSON, so that an answer cannot be executed as code.
ANSWERS = json.loads(r'''{{ cookiecutter | tojson }}''')
STARTED = Path(os.environ.get("PWD", Path.cwd().parent))  # the hook itself runs in the new folder
VERSION = r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*"
WHEEL = rf"titlebout-{VERSION}-py3-none-any\.whl"
SCHEMES = "s3|gs|azure|ssh"  # also the names of DVC's extras


def refusal(answers: dict) -> str:
    """Return the first problem of the answers in one sentence; empty if they are valid."""
    name, slug, data = answers["project_name"], answers["project_slug"], answers["data_file"]
    url = answers["remote_url"]
    if not re.fullmatch(r"[^\W_][\w .,&()+:'!-]{0,79}", name) or max(name) > "\uffff":
        return f"project_name {name!r}: use up to 80 letters, digits, spaces and .,&()+:'!-, starting with a letter or digit"
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,62}", slug) or slug.endswith("-"):
        return f"project_slug {slug!r}: use 2 to 63 lowercase letters, digits and hyphens, starting with a letter"
    if bool(data) != bool(answers["target"]):
        return "data_file and target must be used together: set both for your own data, or neither for the flights example"
    if data and not (STARTED / data).is_file():
        return f"data_file {data!r}: the file does not exist in {STARTED}"
    if url and not re.fullmatch(rf"({SCHEMES})://[A-Za-z0-9][\w.:@/+=-]*", url, re.ASCII):
        return f"remote_url {url!r}: use the form s3://bucket/path, with one of the schemes {SCHEMES.replace('|', ', ')}"
    if url and re.search(r":[^/]*@", url.split("://")[1]):
        return "remote_url: remove the password, because the file with this URL is committed"
    if not re.fullmatch(r"([a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*)?", answers["container_registry"]):
        return f"container_registry {answers['container_registry']!r}: use the form ghcr.io/acme"
    return refused_library(answers["library"])


def refused_library(library: str) -> str:
    """Return what is wrong with the answer that says where the library comes from; empty if it is valid."""
    if library == "vendored" or re.fullmatch(VERSION, library, re.ASCII):
        return ""
    digest = "(#sha256=" + "[0-9a-f]" * 64 + ")?"
    if re.fullmatch(rf"https?://[\w.:/%~-]+/{WHEEL}{digest}", library, re.ASCII):
        return ""
    if not re.fullmatch(WHEEL, Path(library).name, re.ASCII):
        return f"library {library!r}: use vendored, a version such as 0.1.0, or the path or URL of a wheel of titlebout"
    return "" if (STARTED / library).is_file() else f"library {library!r}: the file does not exist in {STARTED}"


sentence = refusal(ANSWERS)
if sentence:
    sys.exit(f"titlebout: {sentence}.")
