"""Creates triggers that note which records changed, for revisions that create tables.

Released revisions call these functions for ever, so none of them may change; a better one gets a new name.
"""

from collections.abc import Sequence

from alembic import op

INSERT, UPDATE, DELETE = "insert", "update", "delete"


def install() -> None:
    """Create the functions that PostgreSQL's triggers call; SQLite's triggers have the statements themselves."""
    if op.get_bind().dialect.name != "postgresql":
        return
    # Arguments of both: the kind, and the column that holds the record's id.
    op.execute("""
        create function ledger_note() returns trigger language plpgsql as $$
        begin
            if tg_op = 'TRUNCATE' then
                execute format('insert into ledger_dirty (kind, id) select %L, %I from %I',
                               tg_argv[0], tg_argv[1], tg_table_name);
                return null;
            end if;
            if tg_op <> 'INSERT' then
                insert into ledger_dirty (kind, id) values (tg_argv[0], to_jsonb(old) ->> tg_argv[1]);
            end if;
            if tg_op <> 'DELETE' then
                insert into ledger_dirty (kind, id) values (tg_argv[0], to_jsonb(new) ->> tg_argv[1]);
            end if;
            return null;
        end $$""")
    op.execute("""
        create function ledger_record() returns trigger language plpgsql as $$
        begin
            if tg_op = 'INSERT' then
                insert into records (kind, id) values (tg_argv[0], new.id);
            elsif tg_op = 'DELETE' then
                delete from records where kind = tg_argv[0] and id = old.id;
            elsif tg_op = 'TRUNCATE' then
                delete from records where kind = tg_argv[0];
            elsif new.id <> old.id then
                raise exception 'the id of a record never changes' using errcode = 'integrity_constraint_violation';
            end if;
            return null;
        end $$""")


def uninstall() -> None:
    """Drop these functions, after the tables that use them."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("drop function ledger_note()")
        op.execute("drop function ledger_record()")


def track_record(table: str) -> None:
    """Create triggers that register a noun's records, keep their ids from changing, and note their changes."""
    if op.get_bind().dialect.name == "postgresql":
        _postgresql(table, "record", "ledger_record", [table])
    else:
        add = "insert into records (kind, id) values ('{}', new.id);"
        remove = "delete from records where kind = '{}' and id = old.id;"
        refuse = "select raise(abort, 'the id of a record never changes') where new.id <> old.id;"
        _sqlite(table, "record", INSERT, [add.format(table)])
        _sqlite(table, "record", DELETE, [remove.format(table)])
        _sqlite(table, "record", "update of id", [refuse])
    track(table, (table, "id"))


def track(table: str, *owners: tuple[str, str]) -> None:
    """Create triggers that note a change of a row as a change of its owners, each given by kind and the column with its id."""
    for kind, column in owners:
        if op.get_bind().dialect.name == "postgresql":
            _postgresql(table, f"note_{kind}", "ledger_note", [kind, column])
            continue
        for event, rows in ((INSERT, ["new"]), (UPDATE, ["old", "new"]), (DELETE, ["old"])):
            note = "insert into ledger_dirty (kind, id) values ('{}', {}.{});"
            _sqlite(table, f"note_{kind}", event, [note.format(kind, row, column) for row in rows])


def _sqlite(table: str, name: str, event: str, statements: Sequence[str]) -> None:
    trigger = f"{table}_{name}_{event.split(maxsplit=1)[0]}"
    op.execute(f"create trigger {trigger} after {event} on {table} for each row begin {' '.join(statements)} end")


def _postgresql(table: str, name: str, function: str, arguments: Sequence[str]) -> None:
    call = f"execute function {function}({', '.join(repr(argument) for argument in arguments)})"
    op.execute(f"create trigger {table}_{name} after insert or update or delete on {table} for each row {call}")
    # TRUNCATE fires no row triggers, and afterwards there is nothing left to note.
    op.execute(f"create trigger {table}_{name}_truncate before truncate on {table} for each statement {call}")
