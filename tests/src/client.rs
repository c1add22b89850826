//! Real clients of a CRL URL, run as people run them.
