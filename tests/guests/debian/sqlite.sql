create table numbers(id integer primary key, value integer, name text);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
  insert into numbers select i, i * 7919 % 10007, printf('name-%05d', i * 31 % 30011) from n;
commit;
create index by_value on numbers(value);
create index by_name on numbers(name);
select count(*), min(value), max(value), sum(value * id) from numbers;
select name from numbers where value between 500 and 502 order by name limit 5;
select a.id, b.id from numbers a join numbers b on a.value = b.value and a.id < b.id order by a.id, b.id limit 3;
select value % 10 as digit, count(*), round(avg(id), 6) from numbers group by digit order by digit limit 4;
update numbers set value = value + 1 where id % 3 = 0;
delete from numbers where name like '%77';
select count(*), sum(value) from numbers;
with recursive mandelbrot(x, y, cx, cy, i) as (
  select 0.0, 0.0, -0.7436, 0.1318, 0
  union all select x * x - y * y + cx, 2.0 * x * y + cy, cx, cy, i + 1 from mandelbrot where x * x + y * y < 4.0 and i < 20000)
  select max(i) from mandelbrot;
pragma integrity_check;
