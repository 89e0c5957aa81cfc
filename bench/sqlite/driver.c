/* driver.c: work for SQLite that is all in memory: 100,000 rows inserted, two indexes, look-ups, an
 * aggregation, a self-join, updates and deletes. Prints one line:
 *
 *     sqlite cpu_ns checksum rows
 *
 * cpu_ns is the CPU time of the whole work of this thread, start-up of the process not counted;
 * the checksum mixes every value that a query returned. The database fits the cache, and temporary
 * tables stay in memory (SQLITE_TEMP_STORE=3), so that no file system takes part. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sqlite3.h"

#ifdef __wasi__
__attribute__((import_module("wasi_snapshot_preview1"), import_name("clock_time_get"))) int
driver_clock_time_get(int id, long long precision, void *time);
#endif

static uint64_t checksum;
static unsigned long long returned;

static uint64_t cpu_ns(void)
{
#ifdef __wasi__
    uint64_t ns = 0; /* 3: the thread's CPU time; 2: the process's; 1: monotonic */
    for (int id = 3; id >= 1 && driver_clock_time_get(id, 1, &ns) != 0; id--) {
    }
    return ns;
#else
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static void die(sqlite3 *db, const char *what)
{
    fprintf(stderr, "sqlite driver: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        die(db, sql);
    }
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        die(db, sql);
    }
    return statement;
}

static void mix(sqlite3_stmt *statement)
{
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        /* Reals by their bits: as text they would pass through long double, which is wider in wasm.
         */
        if (sqlite3_column_type(statement, i) == SQLITE_FLOAT) {
            double value = sqlite3_column_double(statement, i);
            uint64_t bits;
            memcpy(&bits, &value, sizeof bits);
            checksum = (checksum ^ bits) * UINT64_C(0x100000001b3);
            continue;
        }
        const unsigned char *text = sqlite3_column_text(statement, i);
        for (; text != NULL && *text != '\0'; text++) {
            checksum = (checksum ^ *text) * UINT64_C(0x100000001b3);
        }
    }
    returned++;
}

static void query(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = prepare(db, sql);
    int code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        mix(statement);
    }
    if (code != SQLITE_DONE) {
        die(db, sql);
    }
    sqlite3_finalize(statement);
}

int main(int argc, char **argv)
{
    int rows = argc > 1 ? atoi(argv[1]) : 100000;
    sqlite3 *db;
    uint64_t start = cpu_ns();
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
        die(db, "open");
    }
    run(db, "create table item(id integer primary key, kind integer, price real, name text)");
    run(db, "begin");
    sqlite3_stmt *insert = prepare(db, "insert into item values(?1, ?2, ?3, ?4)");
    uint32_t random = 2463534242u;
    for (int i = 1; i <= rows; i++) {
        char name[48];
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        int length = snprintf(name, sizeof name, "item %08x of %d", random, i % 977);
        sqlite3_bind_int(insert, 1, i);
        sqlite3_bind_int(insert, 2, (int)(random % 997));
        sqlite3_bind_double(insert, 3, (double)(random >> 8) / 1024.0);
        sqlite3_bind_text(insert, 4, name, length, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE) {
            die(db, "insert");
        }
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    run(db, "commit");
    run(db, "create index by_kind on item(kind)");
    run(db, "create index by_name on item(name)");

    sqlite3_stmt *lookup = prepare(db, "select name, price from item where id = ?1");
    for (int i = 0; i < rows / 2; i++) {
        sqlite3_bind_int(lookup, 1, (int)((uint32_t)i * 2654435761u % (uint32_t)rows) + 1);
        if (sqlite3_step(lookup) == SQLITE_ROW) {
            mix(lookup);
        }
        sqlite3_reset(lookup);
    }
    sqlite3_finalize(lookup);
    query(db, "select kind, count(*), sum(price), min(name), max(name) from item group by kind "
              "having count(*) > 10 order by 2 desc, 1 limit 50");
    query(db, "select count(*) from item a join item b on a.kind = b.kind and a.id < b.id "
              "where a.id % 10 = 0 and b.price > a.price");
    query(db, "select substr(name, 6, 2) as prefix, avg(price), count(distinct kind) from item "
              "group by prefix order by prefix");
    query(db, "select name from item where name like '%abc%' order by price limit 20");
    run(db, "begin");
    run(db, "update item set price = price * 1.1 where kind % 3 = 0");
    run(db, "update item set name = name || ' new' where id % 7 = 0");
    run(db, "delete from item where id % 5 = 2");
    run(db, "commit");
    query(db, "select count(*), sum(kind), sum(price), sum(length(name)) from item");
    sqlite3_close(db);
    uint64_t used = cpu_ns() - start;
    printf("sqlite %llu %016llx %llu\n", (unsigned long long)used, (unsigned long long)checksum,
           returned);
    return 0;
}
