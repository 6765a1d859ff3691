from runner.verdict.verdict import is_dashscope, judge

__all__ = ["is_dashscope", "judge"]
