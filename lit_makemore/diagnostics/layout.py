"""TensorBoard's Custom Scalars page: what the lecture draws into one chart.

A chart has one colour for each run, whatever the number of its lines: layers are told apart by the
pictures, not here.
"""

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

CHARTS = {  # title: tags, by regular expressions
    "losses; level lines: counting": [r"1_losses/(train|val)$", r"8_counting/.*"],
    "log10 of update over weight, hidden layers; guide -3": [r"6_update/hidden.*"],
}


def layout() -> Summary:
    """The page, as an event."""
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))
        for title, tags in CHARTS.items()
    ]
    page = layout_pb2.Layout(category=[layout_pb2.Category(title="the lecture", chart=charts)])
    value = Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG, metadata=metadata.create_summary_metadata()
    )
    value.tensor.dtype = 7  # a string
    value.tensor.string_val.append(page.SerializeToString())
    return Summary(value=[value])
