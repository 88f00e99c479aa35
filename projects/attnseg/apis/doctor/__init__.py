"""What is wrong with a machine (`environment`) or with the data of a config (`data`)."""
