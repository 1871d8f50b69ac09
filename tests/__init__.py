from mammo.processes.garbage import collect_seldom

collect_seldom()  # before conftest.py imports what takes long
