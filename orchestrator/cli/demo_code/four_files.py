import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

random = np.random.default_rng(7)
days = pd.date_range("2026-01-01", periods=90)
sales = pd.DataFrame(
    {
        "day": days,
        "region": random.choice(["North", "South", "East", "West"], len(days)),
        "units": random.integers(5, 60, len(days)),
        "price": random.normal(20, 3, len(days)).round(2),
    }
)
sales["revenue"] = (sales.units * sales.price).round(2)
sales.to_csv("sales.csv", index=False)

by_region = sales.groupby("region").revenue.sum().round(2)
summary = {"days": len(sales), "revenue": round(sales.revenue.sum(), 2), "by_region": by_region.to_dict()}
with open("summary.json", "w") as file:
    json.dump(summary, file, indent=2)

by_region.plot.bar(title="Revenue by region", color="#4878d0")
plt.tight_layout()
plt.savefig("chart.png")
plt.close()

with open("report.txt", "w") as file:
    file.write(f"Sales of {len(sales)} days\nRevenue: {summary['revenue']:,.2f}\n\n{by_region.to_string()}\n")
print(f"{len(sales)} days, revenue {summary['revenue']:,.2f}")
