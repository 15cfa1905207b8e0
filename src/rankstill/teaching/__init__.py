"""On top of the teacher: what to know before one pays it, and what it is asked beside rankings."""

from rankstill.teaching.commands import (
    check_teacher,
    export_prompts,
    import_answers,
    ledger_table,
    quote,
    write_queries,
)

__all__ = ["check_teacher", "export_prompts", "import_answers", "ledger_table", "quote", "write_queries"]
