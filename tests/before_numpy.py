"""One thread for each process of a test run, set before numpy and scikit-learn start theirs.

Tests run side by side: threads of one model that wait for each other burn what another test needs.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
