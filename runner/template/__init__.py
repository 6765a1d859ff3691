from runner.template.template import Template, compile_template, read_value

__all__ = ["Template", "compile_template", "read_value"]
