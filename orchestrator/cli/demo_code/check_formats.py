rows = {
    "csv": len(load_file("year.csv")),
    "parquet": len(load_file("year.parquet")),
    "json": len(load_file("year.json")),
    "txt": len(load_file("year.txt").splitlines()) - 1,
    "xlsx": len(load_file("year.xlsx").parse("Days")),
}
sheets = load_file("year.xlsx").sheet_names
assert set(rows.values()) == {365}, rows
assert sheets == ["Days", "Months", "Summary"], sheets
print("read back:", ", ".join(f"{kind} {count} rows" for kind, count in rows.items()))
print("sheets:", ", ".join(sheets))
