-- The least that a load can be which readers see whole or not at all: COPY into a logged staging table, then one INSERT.
CREATE TABLE staging (LIKE flights);
\copy staging FROM pstdin WITH (FORMAT csv, HEADER true)
INSERT INTO flights SELECT * FROM staging;
DROP TABLE staging;
