"""Do counts come out as the provider billed them? Requests whose usage others have published."""

from __future__ import annotations

from typing import Any

import pytest

from runner.tokens import inexact_parts, load_tokenizer, prompt_tokens

QWEN = load_tokenizer("qwen")
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
FIBONACCI = "def calculate_fibonacci(n):\n    if n <= 1:\n        return n\n    else:\n"
QWEN_25 = (
    "我是Qwen，由阿里云开发的预训练语言模型。我被设计用来生成各种文本，如文章、故事、诗歌等，"
    "并能根据不同的场景和需求进行对话，提供信息或帮助解决问题。很高兴为你服务！"
)
QWEN_PLUS = (
    "你好！我是通义千问（Qwen），阿里巴巴集团旗下的超大规模语言模型。我可以回答问题、创作文字，"
    "比如写故事、写公文、写邮件、写剧本、逻辑推理、编程等等，还能表达观点，玩游戏等。"
    "如果你有任何问题或需要帮助，欢迎随时告诉我！😊"
)
QWEN_3B = (
    "我是Qwen，由阿里云开发的预训练语言模型。我被设计用来生成各种各样的文本，包括回答问题、"
    "创作故事、编写代码等等。有什么我可以帮助你的吗？如果你有任何问题或需要帮助的地方，"
    "请尽管告诉我！"
)
TONGYI = "我是阿里云开发的一款超大规模语言模型，我叫通义千问。"


def ask(text: str, *, system: bool = True) -> list[dict[str, Any]]:
    return [*([SYSTEM] if system else []), {"role": "user", "content": text}]


# (model, messages, prompt_tokens, answer, completion_tokens); where it was published
PUBLISHED = [
    # alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope (2025-11-14)
    ("qwen-plus", ask("你是谁？"), 22, TONGYI, 17),
    # github.com/R10836/CSU-CS_DS-Assignments, .../test/qwen_test.py: a logged call
    (
        "qwen-turbo",
        ask("你是什么东西？"),
        23,
        "我是来自阿里云的超大规模语言模型，我叫通义千问。",
        17,
    ),
    # github.com/JqyModi/MojiTalk-iOS, docs/API.md: a logged call of 2026-02
    ("qwen-plus", ask("你是谁？", system=False), 11, QWEN_PLUS, 65),
    # github.com/zhenghua54/tk_rag_test, tests/qwen2.5_llm_demo.py: a logged call of 2025-05
    ("qwen2.5-72b-instruct", ask("你是谁？"), 22, QWEN_25, 49),
    # github.com/DuskSwan/MCP-Explorer, tests/Qwen.py: a logged call of 2025-04
    ("qwen2.5-3b-instruct", ask("你是谁？"), 22, QWEN_3B, 52),
    # help.aliyun.com/zh/model-studio/partial-mode: the answer's beginning is given
    (
        "qwen3-coder-plus",
        [
            *ask("请补全这个斐波那契函数，勿添加其它内容", system=False),
            {"role": "assistant", "content": FIBONACCI, "partial": True},
        ],
        48,
        "        return calculate_fibonacci(n-1) + calculate_fibonacci(n-2)",
        19,
    ),
]


@pytest.mark.parametrize(
    ("model", "messages", "asked", "answer", "answered"),
    PUBLISHED,
    ids=[f"{one[0]}-{one[2]}" for one in PUBLISHED],
)
def test_published_usage_comes_out_exactly(
    model: str, messages: list[dict[str, Any]], asked: int, answer: str, answered: int
) -> None:
    body = {"model": model, "messages": messages}
    assert prompt_tokens(body, QWEN) == asked
    assert inexact_parts(body) == ()
    assert QWEN.count([answer]) == [answered]


# What does not come out, and why; should one of these change, the format has become known better.
NOT_OURS = [
    # docs.qwencloud.com/api-reference/chat/dashscope: the English page repeats the usage (and the
    # request_id) of the Chinese "你是谁？", whose count is 22
    (ask("Who are you?"), 22, 23),
    # github.com/zkyuan/python_study, py4Langchain/qwen.py: an old qwen-turbo's call; why it has
    # two tokens less than every other sample is not known
    (ask("如何做西红柿鸡蛋汤？", system=False), 12, 14),
]


@pytest.mark.parametrize(("messages", "published", "counted"), NOT_OURS)
def test_published_usage_that_belongs_to_another_text_or_time(
    messages: list[dict[str, Any]], published: int, counted: int
) -> None:
    assert prompt_tokens({"messages": messages}, QWEN) == counted != published
