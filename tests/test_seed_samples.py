"""The samples of the user's document, with the real client packages, against the stand-in server.

They differ from the document in base URL and key alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from asyncio import Event, new_event_loop
from typing import TYPE_CHECKING, Any

import pytest

from runner.simulator import serve
from runner.simulator.model import answer_to
from runner.simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Client packages warn about themselves; that is their business.
pytestmark = pytest.mark.filterwarnings("default")
openai = pytest.importorskip("openai", reason="pip install openai: the document's samples need it")
MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "你是誰?"},
]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_current_time",
            "description": "當你想知道現在的時間時非常有用。",
            "parameters": {},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "當你想查詢指定城市的天氣時非常有用。",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {
                        "type": "string",
                        "description": "城市或縣區,比如北京市、杭州市、餘杭區等。",
                    }
                },
            },
            "required": ["location"],
        },
    },
]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A stand-in server in a thread of its own, since the samples are synchronous."""
    loop, ready = new_event_loop(), threading.Event()
    found: list[Any] = []

    async def main() -> None:
        stop = Event()
        async with serve(SimulatorSettings(key="sk-made-up")) as server:
            found.extend((server.base_url, stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(found[1].set)
    thread.join(20)
    loop.close()


@pytest.fixture
def client(base_url: str) -> Iterator[Any]:
    with openai.OpenAI(api_key="sk-made-up", base_url=base_url, max_retries=0) as opened:
        yield opened


def test_plain(client: Any) -> None:
    completion = client.chat.completions.create(model="qwen-plus", messages=MESSAGES)
    shown = json.loads(completion.model_dump_json())
    assert shown["choices"][0]["message"]["content"] == answer_to(MESSAGES)
    assert shown["choices"][0]["message"]["function_call"] is None
    assert shown["choices"][0]["message"]["tool_calls"] is None
    assert shown["object"] == "chat.completion"


def test_streamed(client: Any) -> None:
    chunks = client.chat.completions.create(
        model="qwen-plus", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    shown = [json.loads(chunk.model_dump_json()) for chunk in chunks]
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in shown[:-1])
    assert text == answer_to(MESSAGES)
    assert shown[-2]["choices"][0]["finish_reason"] == "stop"
    assert shown[-1]["choices"] == []
    assert shown[-1]["usage"]["total_tokens"] > 0


def test_streamed_tool_calls_and_reasoning_are_joined_by_the_package(client: Any) -> None:
    with client.chat.completions.stream(
        model="qwen-plus",
        messages=[{"role": "user", "content": "北京天氣如何?"}],
        tools=TOOLS,
        extra_body={"enable_thinking": True},
    ) as source:
        completion = source.get_final_completion()
    message = completion.choices[0].message
    call = message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("get_current_weather", {"location": "北京"})
    assert message.reasoning_content.startswith("Let me think.")


def get_current_weather(location: str) -> str:
    return f"{location}今天是雨天。 "


def get_current_time() -> str:
    return "目前時間:2024-04-15 17:15:18。"


@pytest.mark.parametrize("question", ["北京天氣如何?", "現在幾點了?", "一個小時後幾點"])
def test_function_call_rounds(client: Any, question: str) -> None:
    def get_response(messages: list[Any]) -> Any:
        completion = client.chat.completions.create(
            model="qwen-plus", messages=messages, tools=TOOLS
        )
        return completion.model_dump()

    messages: list[Any] = [{"content": question, "role": "user"}]
    assistant_output = get_response(messages)["choices"][0]["message"]
    if assistant_output["content"] is None:
        assistant_output["content"] = ""
    messages.append(assistant_output)
    rounds = 1
    while assistant_output["tool_calls"] is not None:
        called = assistant_output["tool_calls"][0]["function"]
        tool_info = {"name": called["name"], "role": "tool"}
        if called["name"] == "get_current_weather":
            tool_info["content"] = get_current_weather(json.loads(called["arguments"])["location"])
        else:
            tool_info["content"] = get_current_time()
        messages.append(tool_info)
        assistant_output = get_response(messages)["choices"][0]["message"]
        messages.append(assistant_output)
        rounds += 1
    assert rounds == 2
    assert messages[-1]["content"] == answer_to(messages[:-1])


def test_errors_become_the_package_s_own(base_url: str) -> None:
    with (
        openai.OpenAI(api_key="wrong", base_url=base_url, max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as caught,
    ):
        wrong.chat.completions.create(model="qwen-plus", messages=MESSAGES)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


@pytest.fixture
def llm(base_url: str) -> Any:
    langchain_openai = pytest.importorskip(
        "langchain_openai", reason="pip install langchain-openai: the document's samples need it"
    )
    return langchain_openai.ChatOpenAI(
        api_key="sk-made-up", base_url=base_url, model="qwen-plus", stream_usage=True
    )


def test_langchain_invoke(llm: Any) -> None:
    shown = json.loads(llm.invoke(MESSAGES).model_dump_json())
    assert shown["content"] == answer_to(MESSAGES)
    assert shown["response_metadata"]["finish_reason"] == "stop"
    assert shown["response_metadata"]["token_usage"]["total_tokens"] > 0


def test_langchain_stream(llm: Any) -> None:
    shown = [json.loads(chunk.model_dump_json()) for chunk in llm.stream(MESSAGES)]
    assert "".join(chunk["content"] for chunk in shown) == answer_to(MESSAGES)
    assert sum((chunk["usage_metadata"] or {}).get("total_tokens", 0) for chunk in shown) > 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("stream", [False, True])
def test_curl(base_url: str, *, stream: bool) -> None:
    data = {"model": "qwen-plus", "messages": MESSAGES, **({"stream": True} if stream else {})}
    out = subprocess.run(
        [
            *("curl", "--silent", "--noproxy", "*", "--location", f"{base_url}/chat/completions"),
            *("--header", "Authorization: Bearer sk-made-up"),
            *("--header", "Content-Type: application/json", "--data", json.dumps(data)),
        ],
        stdout=subprocess.PIPE,
        check=True,
        timeout=20,
    ).stdout
    if stream:
        assert out.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(out)["choices"][0]["message"]["content"] == answer_to(MESSAGES)
