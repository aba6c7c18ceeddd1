import matplotlib.pyplot as plt

by_id = load_file("FILE_ID")
by_name = load_file("sales.csv")
assert by_id.equals(by_name)

by_name["day"] = by_name.day.astype("datetime64[ns]")
weekly = by_name.set_index("day").revenue.resample("W").sum()
weekly.plot(title="Revenue by week", marker="o")
plt.tight_layout()
plt.savefig("weekly.png")
plt.close()
print(f"{len(by_name)} rows by id and by name, {len(weekly)} weeks plotted")
