-- For a tool that reads every CSV field as text and casts nothing.
CREATE TABLE flights (
  year text, month text, day text, dep_time text, sched_dep_time text, dep_delay text, arr_time text,
  sched_arr_time text, arr_delay text, carrier text, flight text, tailnum text, origin text, dest text,
  air_time text, distance text, hour text, minute text, time_hour text
);
