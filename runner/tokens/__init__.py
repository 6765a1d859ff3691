from runner.tokens.tokens import (
    Tokenizer,
    guess_tokens,
    inexact_parts,
    load_tokenizer,
    most_prompt_tokens,
    prompt_texts,
    prompt_tokens,
)

__all__ = [
    "Tokenizer",
    "guess_tokens",
    "inexact_parts",
    "load_tokenizer",
    "most_prompt_tokens",
    "prompt_texts",
    "prompt_tokens",
]
