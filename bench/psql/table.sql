-- For a tool that fills a table it doesn't create.
CREATE TABLE flights (
  year bigint, month bigint, day bigint, dep_time bigint, sched_dep_time bigint, dep_delay bigint, arr_time bigint,
  sched_arr_time bigint, arr_delay bigint, carrier text, flight bigint, tailnum text, origin text, dest text,
  air_time bigint, distance bigint, hour bigint, minute bigint, time_hour timestamptz
);
