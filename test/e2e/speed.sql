-- In the manner of SQLite's own speed test: inserts, indexes, look-ups, joins, updates, deletes; every result
-- is printed, so that a native SQLite must print the same.
PRAGMA journal_mode=DELETE;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, grp INT, price REAL, body BLOB);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)
INSERT INTO item SELECT i, 'name '||(i*7919%20011), i%97, (i*31%1000)/8.0, zeroblob(i%64) FROM n;
COMMIT;
CREATE INDEX item_name ON item(name);
CREATE INDEX item_grp ON item(grp, price);
SELECT count(*), sum(price), min(name), max(name) FROM item;
SELECT grp, count(*), round(avg(price),6) FROM item GROUP BY grp ORDER BY 3 DESC, 1 LIMIT 5;
SELECT id FROM item WHERE name='name 12345';
SELECT count(*) FROM item a JOIN item b ON b.name='name '||(a.id*3%20011) WHERE a.grp=5;
UPDATE item SET price=price*1.25, name=upper(name) WHERE grp%3=1;
DELETE FROM item WHERE grp BETWEEN 40 AND 60;
CREATE TABLE tree AS WITH RECURSIVE t(a,b) AS (VALUES(1,'x') UNION ALL SELECT a*2, b||a FROM t WHERE a<1000000) SELECT * FROM t;
SELECT * FROM tree ORDER BY a DESC LIMIT 3;
CREATE TRIGGER keep AFTER DELETE ON item BEGIN INSERT INTO tree VALUES(old.id, old.name); END;
DELETE FROM item WHERE id%100=0;
SELECT count(*), sum(a) FROM tree;
SELECT name, price, length(body), typeof(body) FROM item WHERE id IN (1,77,1999,19999) ORDER BY id;
SELECT printf('%.3f', sum(price)), group_concat(DISTINCT grp%5) FROM (SELECT * FROM item ORDER BY id);
WITH w AS (SELECT id, grp, price, rank() OVER (PARTITION BY grp ORDER BY price DESC, id) r FROM item)
SELECT grp, id, price FROM w WHERE r=1 ORDER BY grp LIMIT 4;
VACUUM;
PRAGMA integrity_check;
