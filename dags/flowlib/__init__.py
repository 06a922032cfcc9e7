"""What the DAGs are made of: the daily timetable, table anchors, virtual nodes and job nodes.

A package of its own, because triggers must be importable by the triggerer. It never imports pyspark: nodes send their
jobs to the Spark driver, and the DAG processor and the scheduler stay light.
"""
