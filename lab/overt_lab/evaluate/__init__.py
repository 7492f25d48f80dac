"""How well the models tell people apart: measured on labelled pictures, on the person's own machine."""
