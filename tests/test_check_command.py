"""`penstock check` as a person sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processes import KEY, penstock, simulator

if TYPE_CHECKING:
    from pathlib import Path


def test_each_step_is_a_line_and_the_exit_status_tells(tmp_path: Path) -> None:
    with simulator("--key", KEY, "--models", "qwen-plus", cwd=tmp_path) as server:
        ended = penstock("check", "--base-url", server.base_url, cwd=tmp_path)
        assert (ended.status, ended.err) == (0, "")
        assert [line.split()[0] for line in ended.out.splitlines()] == [
            "address", "key", "way", "TLS", "key", "model",
        ]  # fmt: skip
        assert "model         ok      qwen-plus is listed, among 1" in ended.out
        ended = penstock(
            "check", "--base-url", server.base_url, cwd=tmp_path, DASHSCOPE_API_KEY="sk-other"
        )
        assert ended.status == 3
        assert "key accepted  FAILED  Incorrect API key provided." in ended.out
        assert "sk-other" not in ended.out + ended.err


def test_json_is_one_object(tmp_path: Path) -> None:
    with simulator(cwd=tmp_path) as server:
        found = penstock("check", "--base-url", server.base_url, "--json", cwd=tmp_path).json()
    assert list(found) == ["ok", "exit_status", "steps", "models"]
    assert (found["ok"], found["exit_status"]) == (True, 0)
    assert found["steps"][1] == {
        "step": "key",
        "ok": True,
        "text": "found in DASHSCOPE_API_KEY",
    }


def test_without_a_key_it_tells_how_to_get_one(tmp_path: Path) -> None:
    ended = penstock("check", cwd=tmp_path, DASHSCOPE_API_KEY="")
    assert ended.status == 2
    assert "key      FAILED  no API key in DASHSCOPE_API_KEY" in ended.out
    assert "\n                 To get a key: " in ended.out
