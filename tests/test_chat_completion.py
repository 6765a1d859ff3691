"""Each output row's reply is the SDK's ChatCompletion again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import KEY

from runner import Job, chat_completion, run
from runner.simulator import SimulatorSettings, answer_to, serve

if TYPE_CHECKING:
    from pathlib import Path

openai_chat = pytest.importorskip(
    "openai.types.chat", reason="openai is not installed; it is in the dev extra"
)

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
        },
    }
]


async def reply_of(folder: Path, stream: bool, **params: Any) -> Any:
    pq.write_table(pa.table({"prompt": ["Weather in 杭州?"]}), folder / "one.parquet")
    async with serve(SimulatorSettings()) as server:
        job = Job(base_url=server.base_url, params=params, stream=stream, prefix="q_")
        await run(job, str(folder / "one.parquet"), str(folder / "run"))
    (row,) = pq.read_table(folder / "run" / "completions").to_pylist()
    return openai_chat.ChatCompletion.model_validate(chat_completion(row, prefix="q_"))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_answer(tmp_path: Path, stream: bool) -> None:
    reply = await reply_of(tmp_path, stream)
    (choice,) = reply.choices
    assert choice.message.content == answer_to([{"role": "user", "content": "Weather in 杭州?"}])
    assert choice.finish_reason == "stop"
    assert reply.model == "qwen-plus"
    assert reply.created > 1_700_000_000
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_back_whole(tmp_path: Path, stream: bool) -> None:
    reply = await reply_of(tmp_path, stream, tools=TOOLS)
    (call,) = reply.choices[0].message.tool_calls
    assert call.function.name == "get_current_weather"
    assert json.loads(call.function.arguments)["location"]
    assert reply.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
async def test_several_choices(tmp_path: Path, stream: bool) -> None:
    reply = await reply_of(tmp_path, stream, n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) == 3


async def test_reasoning_stands_beside_the_answer(tmp_path: Path) -> None:
    reply = await reply_of(tmp_path, stream=True, enable_thinking=True)
    assert reply.choices[0].message.reasoning_content
    assert reply.usage.completion_tokens_details.reasoning_tokens > 0


def test_a_failed_row_has_no_reply() -> None:
    with pytest.raises(ValueError, match=r"row 3 failed \(timeout\): it has no reply"):
        chat_completion({"row": 3, "error_type": "timeout"})
