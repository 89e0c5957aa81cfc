"""orders: JSON in, JSON out: lines of orders become one bill for each customer.

    wardmote fn put examples/functions/orders.py
    wardmote fn call orders '[{"customer": "Zoë", "item": "pen", "count": 3, "price": "1.20"}]'
"""
import json
import uuid
from datetime import datetime, timezone
from decimal import Decimal


def handle(data):
    bills = {}
    for order in json.loads(data):
        bill = bills.setdefault(order["customer"], {"items": [], "total": Decimal(0)})
        price = order["count"] * Decimal(order["price"])
        bill["items"].append(f'{order["count"]} {order["item"]}')
        bill["total"] += price
    return json.dumps(
        [
            {
                "bill": str(uuid.uuid4()),
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "customer": customer,
                "items": bill["items"],
                "total": str(bill["total"]),
            }
            for customer, bill in sorted(bills.items())
        ],
        ensure_ascii=False,
    )
