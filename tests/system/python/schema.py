"""Compares the Parquet schema and encodings of a block of ours with those of a block written by Tempo.

    schema.py OURS.parquet TEMPO.parquet
"""

import sys

import pyarrow.parquet as pq


def leaves(file):
    schema = file.schema
    return [
        (leaf.path, leaf.physical_type, str(leaf.logical_type), leaf.max_definition_level, leaf.max_repetition_level)
        for leaf in (schema.column(i) for i in range(len(schema)))
    ]


def check_encodings(file):
    """The rules of Tempo's readers: keys by dictionary, never a fallback, no dictionary for INT32 or trace ids."""
    problems = []
    for group in range(file.metadata.num_row_groups):
        for at in range(file.metadata.num_columns):
            column = file.metadata.row_group(group).column(at)
            path, encodings = column.path_in_schema, set(column.encodings)
            dictionary = column.dictionary_page_offset is not None
            values = encodings - {"RLE"}
            if path.endswith(".Key") and not dictionary:
                problems.append(f"{path}: keys are not by dictionary")
            if dictionary and values - {"PLAIN", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}:
                problems.append(f"{path}: dictionary with fallback to {values}")
            if dictionary and (column.physical_type == "INT32" or path == "TraceID"):
                problems.append(f"{path}: must not be by dictionary")
    return problems


def main():
    ours, tempo = pq.ParquetFile(sys.argv[1]), pq.ParquetFile(sys.argv[2])
    problems = check_encodings(ours)
    for at, (have, want) in enumerate(zip(leaves(ours), leaves(tempo))):
        if have != want:
            problems.append(f"leaf {at}: {have}, Tempo has {want}")
    if len(ours.schema) != len(tempo.schema):
        problems.append(f"{len(ours.schema)} leaves, Tempo has {len(tempo.schema)}")
    ids = ours.read(columns=["TraceID"])["TraceID"].to_pylist()
    if ids != sorted(set(ids)) or any(len(id) != 16 for id in ids):
        problems.append("trace ids are not unique, ascending and 16 bytes long")
    # Every page of every column must decode.
    rows = ours.read().num_rows
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(ours.schema)} leaves as Tempo has them, {rows} rows read")


if __name__ == "__main__":
    main()
