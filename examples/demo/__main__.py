"""Run the demo: a served model, its traffic, three shifts, and what headwatch says of them.

    python -m examples.demo [--exit] [--seed N] [--keep DIR]

Exit status: 0 if headwatch stayed quiet while nothing moved and found, explained and named all three
shifts; 1 if not, or if something could not run (the message says what); 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from examples.demo import stack
from examples.demo.clients import AlertReceiver, InferenceClient, SidecarClient
from examples.demo.plan import draw_plan
from examples.demo.processes import Children, DemoError
from examples.demo.story import Driver, Scene
from examples.demo.summary import Story, expectations, to_json
from examples.demo.view import LiveView, PlainView
from examples.sentiment.assemble import assemble

RUN = Path("demo-run")
PICTURE = (120, 36)


def main() -> int:
    """Parse the command line, play the story, judge it."""
    options = _parse()
    console = Console(highlight=False)
    plan = draw_plan(options.seed, layers=stack.LAYERS, heads=stack.HEADS)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    folder = _fresh_folder(options.keep)
    view_type = LiveView if console.is_terminal else PlainView
    began = time.monotonic()
    title = f"seed {options.seed} · quiet → {' → '.join(plan.acts)}"
    try:
        with AlertReceiver() as receiver, Children(folder) as children:
            with view_type(console, title=title, receiving=stack.has_alertmanager()) as view:
                view.phase("start", "assembling the model and starting the servers")
                model = assemble(folder / "model")
                servers = stack.start(children, folder, model=model, webhook=receiver.url)
                scene = Scene(
                    children=children,
                    inference=InferenceClient(servers.inference),
                    sidecar=SidecarClient(servers.sidecar),
                    receiver=receiver if servers.alertmanager else None,
                    model=model,
                    aside=folder / "aside",
                    logs=folder,
                    window=stack.WINDOW,
                    baseline=stack.BASELINE,
                )
                view.links(servers.links())
                starting = time.monotonic() - began
                story = Driver(plan, scene, view, links=servers.links(), clock=time.monotonic).play()
                story.timing["start"], story.timing["total"] = starting, time.monotonic() - began
                failed = expectations(story)
                view.finish(failed)
            _write(story, options.summary)
            if options.picture is not None:
                _draw(view, options.picture)
            _tell(console, story, failed, options.summary, folder)
            if not options.exit:
                _stay(console, children)
            return 1 if failed else 0
    except DemoError as error:
        console.print(f"the demo stopped: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; all servers were ended")
        return 130


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--exit", action="store_true", help="end when the story is over")
    parser.add_argument("--seed", type=int, help="draws the acts and their details (default: random)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help=f"run in DIR instead of {RUN}/")
    parser.add_argument("--summary", type=Path, default=Path("demo-summary.json"), metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="save the last screen as a picture")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(10_000)
    return options


def _fresh_folder(keep: Path | None) -> Path:
    folder = (keep or RUN).resolve()
    if keep is None and folder.exists():
        shutil.rmtree(folder)
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"--keep {keep}: the folder is not empty; name another one")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _write(story: Story, path: Path) -> None:
    path.write_text(json.dumps(to_json(story), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _draw(view: LiveView | PlainView, path: Path) -> None:
    picture = Console(record=True, width=PICTURE[0], height=PICTURE[1], file=io.StringIO(), highlight=False)
    view.draw_on(picture)
    path.write_text(picture.export_svg(title="make demo"), encoding="utf-8")


def _tell(console: Console, story: Story, failed: list[str], summary: Path, folder: Path) -> None:
    lines = [f"{name}: {url}" for name, url in story.links.items()]
    lines.append(f"the story took {story.timing['total']:.0f} s; summary: {summary}; logs: {folder}/*.log")
    lines += [f"FAILED: {sentence}" for sentence in failed]
    for line in ("", *lines):
        console.print(line, markup=False, soft_wrap=True)


def _stay(console: Console, children: Children) -> None:
    console.print("everything stays up until Ctrl-C", style="bold")
    try:
        while True:
            children.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("ending the servers")


if __name__ == "__main__":
    sys.exit(main())
