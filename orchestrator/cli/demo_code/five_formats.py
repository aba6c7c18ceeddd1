import numpy as np
import pandas as pd

random = np.random.default_rng(3)
year = pd.DataFrame(
    {
        "day": pd.date_range("2025-01-01", periods=365),
        "visitors": random.poisson(900, 365),
        "orders": random.poisson(40, 365),
    }
)
year.to_csv("year.csv", index=False)
year.to_parquet("year.parquet", index=False)
year.to_json("year.json", orient="records", date_format="iso")
with pd.ExcelWriter("year.xlsx") as book:
    year.to_excel(book, sheet_name="Days", index=False)
    year.groupby(year.day.dt.month)[["visitors", "orders"]].sum().to_excel(book, sheet_name="Months")
    year.describe().to_excel(book, sheet_name="Summary")
with open("year.txt", "w") as file:
    file.write(year.to_string(index=False))
print(f"{len(year)} rows in five formats")
