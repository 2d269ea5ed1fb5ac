"""A small table of labels, and the source that reads it from the folder `photos` beside it."""

from typing import Any

from longtail.sources.table import LabelColumn, LabelTable

CSV = """image,sender,kind,kids,part
a,1,Shirt,False,train
b,1,Hat,True,train
c,2,Not sure,False,val
d,2,Skip,False,test
e,,Shirt,False,
"""


def source(**changes: Any) -> LabelTable:
    """The source of that table, with other parameters on request."""
    kind = LabelColumn(column="kind", missing=["Not sure"], drop=["Skip"])
    options = {"table": "labels.csv", "images": "photos", "suffix": ".png", "labels": [kind], **changes}
    return LabelTable(kind="table", **options)
