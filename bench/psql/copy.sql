-- The least that a load of a CSV file can be: COPY straight into the table.
\copy flights FROM pstdin WITH (FORMAT csv, HEADER true)
