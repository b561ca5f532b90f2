"""Curves: training curves recorded, read, compared, plotted and judged."""
