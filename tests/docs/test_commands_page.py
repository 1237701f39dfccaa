"""docs/commands.md and what guides quote are what the command line says today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from monitor.commands.docs import page
from monitor.commands.exit_codes import BY_COMMAND, EVERYWHERE, EXIT_CODES
from monitor.config.configuration import Config, load_config

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CALL = re.compile(r"\bheadwatch ((?:baseline )?[a-z]+)((?:[^\n`|]|\\\n)*)")
# as many backticks after as before, so that code may hold fewer of them
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", re.DOTALL)
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_is_what_the_command_line_makes_today():
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_command_has_its_exit_codes_and_no_other_does():
    sections = re.findall(r"^## (\S.*)$", page(), re.MULTILINE)
    assert set(sections) - {"Exit codes", "In scripts"} == set(BY_COMMAND)
    for codes in BY_COMMAND.values():
        assert set(codes) <= set(EXIT_CODES)
        assert not set(codes) & set(EVERYWHERE)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_option_that_a_guide_names_exists(guide):
    options = {
        name: set(re.findall(r"`(--?[a-z-]+)`", body))
        for name, body in re.findall(r"^## (\S.*?)\n(.*?)(?=^## |\Z)", page(), re.MULTILINE | re.DOTALL)
    }
    text = re.sub(r"\\\n\s*", " ", guide.read_text(encoding="utf-8"))
    code = "\n".join(span[1] for span in _CODE.findall(text))
    unknown = []
    for name, rest in _CALL.findall(code):
        if name not in options:
            unknown.append(name)
            continue
        given = re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest.split("#")[0])
        unknown += [f"{name} {one}" for one in given if one not in {*options[name], "--help", "--debug"}]
    assert [one for one in unknown if one not in ("baseline", "rebuilt")] == []


def test_configurations_in_guides_can_be_used(tmp_path):
    sections = set(Config.model_fields)
    found = 0
    for guide in GUIDES:
        for block in _YAML.findall(guide.read_text(encoding="utf-8")):
            for values in yaml.safe_load_all(block):
                if not isinstance(values, dict) or not set(values) <= sections:
                    continue
                file = tmp_path / "headwatch.yaml"
                file.write_text(yaml.safe_dump({"model": {"source": "/models/m"}, **values}))
                load_config(file, {})
                found += 1
    assert found >= 3
