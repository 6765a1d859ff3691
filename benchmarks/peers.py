"""`make bench-peers`: what do others cost for the same rows? Each in an environment of its own.

CPU seconds of the client process per 1,000 requests, start-up taken off, against a server that
answers at once; Penstock with its journal and parts on disk, in the same minutes. The drivers in
`peers/` are the shortest that each peer's own documentation suggests. The OpenAI cookbook's script
is in no package registry: `--cookbook PATH` names your copy of its
`examples/api_request_parallel_processor.py`, and without it that line is left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from run import about, bare_loop, measure, server, spread, whole_way

_HERE = Path(__file__).parent
_QUESTION = "A question of the usual length, asked again and again. " * 11
_WORKERS = 200


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to run another program."""

    name: str
    packages: str  # as pip takes them; the first names the environment, before any "["
    driver: str
    mode: str

    @property
    def package(self) -> str:
        """The first one's name."""
        return self.packages.split()[0].partition("[")[0]

    def python(self, environments: Path) -> Path:
        """Its interpreter; installs it where there is none."""
        folder = environments / self.package
        if not folder.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [
                str(folder / "bin/python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                *self.packages.split(),
            ]
            subprocess.run(pip, check=True)
        return folder / "bin/python"

    def installed(self, environments: Path) -> bool:
        """Whether it is there, or could be installed."""
        try:
            self.python(environments)
        except subprocess.CalledProcessError:
            shutil.rmtree(environments / self.package, ignore_errors=True)
            print(f"{self.name}: {self.packages} cannot be installed here\n", flush=True)
            return False
        return True

    def version(self, environments: Path) -> str:
        code = f"from importlib.metadata import version; print(version('{self.package}'))"
        found = subprocess.run(
            [str(self.python(environments)), "-c", code], capture_output=True, text=True, check=True
        )
        return f"{self.package} {found.stdout.strip()}"


PEERS = (
    Peer("AsyncOpenAI by hand, aiohttp backend", "openai[aiohttp]", "openai_by_hand", "aiohttp"),
    Peer("AsyncOpenAI by hand, default backend", "openai[aiohttp]", "openai_by_hand", "default"),
    Peer("async-batch-llm, nothing kept", "async-batch-llm[openai]", "async_batch", "nothing"),
    Peer("async-batch-llm, JSONL", "async-batch-llm[openai]", "async_batch", "checkpoint"),
    Peer("curator, its cache on disk", "bespokelabs-curator", "by_curator", "cache"),
)


def the_cookbooks(script: Path) -> Peer:
    """The cookbook's script; its requirements alone come from a registry."""
    return Peer("OpenAI cookbook's script", "aiohttp tiktoken", "cookbook", str(script.resolve()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=_HERE / ".peers")
    parser.add_argument("--cookbook", type=Path, help="your copy of the cookbook's script")
    parser.add_argument("--only", default="", help="peers whose name begins so; all by default")
    options = parser.parse_args()
    peers = [*PEERS, *([the_cookbooks(options.cookbook)] if options.cookbook else [])]
    peers = [peer for peer in peers if peer.name.startswith(options.only)]
    requests: int = options.requests
    rows = requests * 10  # of ours, which is over too soon otherwise
    # Before anything is measured.
    peers = [peer for peer in peers if peer.installed(options.environments)]
    with tempfile.TemporaryDirectory() as name, server(0.0) as base_url:
        folder = Path(name)
        for count in (1, rows):
            texts = {"row_number": list(range(count)), "text": [_QUESTION] * count}
            pq.write_table(pa.table(texts), folder / f"{count}.parquet")
        costs: dict[Peer | None, list[float]] = {peer: [] for peer in (None, *peers)}
        loops = [bare_loop(f"{base_url}/chat/completions", n, _WORKERS) for n in (0, rows)]
        bare: list[float] = []
        for repeat in range(options.repeats):
            idle_loop, loop = (measure(command, folder).cpu_s for command in loops)
            bare.append((loop - idle_loop) / rows * 1000)
            ours = [
                measure(whole_way(base_url, folder / f"{n}.parquet", w, f"{n}-{repeat}"), folder)
                for n, w in ((1, 1), (rows, _WORKERS))
            ]
            costs[None].append((ours[1].cpu_s - ours[0].cpu_s) / rows * 1000)
            for peer in peers:
                driver = [
                    str(peer.python(options.environments)), str(_HERE / f"peers/{peer.driver}.py"),
                    base_url,
                ]  # fmt: skip
                idle = measure([*driver, "1", "1", peer.mode], folder)
                busy = measure([*driver, str(requests), str(_WORKERS), peer.mode], folder)
                costs[peer].append((busy.cpu_s - idle.cpu_s) / requests * 1000)
    print(f"{about()}; medians of {options.repeats} rounds, least to greatest")
    print(f"{requests:,} requests of theirs, {rows:,} of ours and of the bare loop's\n")
    print("| | version | CPU s per 1,000 | Penstock = 1 | bare loop = 1 |\n|---|---|---|---|---|")
    lines = {"the bare loop": ("", bare), "Penstock, journal and parts on disk": ("", costs[None])}
    for peer in peers:
        lines[peer.name] = peer.version(options.environments), costs[peer]
    for name, (version, found) in lines.items():
        by_own, by_bare = (
            [one / other for one, other in zip(found, others, strict=True)]
            for others in (costs[None], bare)
        )
        print(f"| {name} | {version} | {spread(found, 3)} | {spread(by_own)} | {spread(by_bare)} |")


if __name__ == "__main__":
    main()
