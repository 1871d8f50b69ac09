"""From the tables of a run folder to numbers, figures and a report; knows no model and no trainer."""
