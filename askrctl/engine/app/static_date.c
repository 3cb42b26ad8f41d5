/* SPDX-License-Identifier: MIT
 * HTTP dates: IMF-fixdate is written, and read with the two obsolete forms that a recipient has to
 * understand (RFC 9110 section 5.6.7). Days since 1970 are counted here, without time zones or
 * locales. */
#include <stdio.h>

#include "app/static_parts.h"

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct date {
    int64_t year;
    int month, day, hour, minute, second; /* month: 1 to 12 */
};

/* Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that a leap day is the
 * last of one. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct date date_of(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    return (struct date){
        .year = year_of_era + era * 400 + (month >= 10),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

void static_date_write(int64_t seconds, char out[static STATIC_DATE_SIZE + 1])
{
    const int64_t last = INT64_C(253402300799); /* the end of 9999 */
    seconds = seconds < 0 ? 0 : seconds > last ? last : seconds;
    int64_t days = seconds / 86400, rest = seconds % 86400;
    struct date date = date_of(days);
    int size =
        snprintf(out, STATIC_DATE_SIZE + 1, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                 day_names + 3 * ((days + 4) % 7), date.day, month_names + 3 * (date.month - 1),
                 (int)date.year, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    assert(size == STATIC_DATE_SIZE);
}

/* Patterns: a letter stands for what it reads, anything else for itself. */
static bool read_two(const char *text, int *number)
{
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return false;
    *number = (text[0] - '0') * 10 + text[1] - '0';
    return true;
}

static bool read_name(const char *text, const char *names, int count, int *number)
{
    for (int i = 0; i < count; i++)
        if (memcmp(text, names + 3 * i, 3) == 0) {
            *number = i + 1;
            return true;
        }
    return false;
}

/* "08:49:37" */
static bool read_clock(const char *text, struct date *date)
{
    return read_two(text, &date->hour) && text[2] == ':' && read_two(text + 3, &date->minute) &&
           text[5] == ':' && read_two(text + 6, &date->second);
}

static bool read_year(const char *text, struct date *date)
{
    int century, rest;
    if (!read_two(text, &century) || !read_two(text + 2, &rest))
        return false;
    date->year = century * 100 + rest;
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_fixdate(struct slice text, struct date *date)
{
    const char *at = text.data;
    int weekday;
    return text.size == STATIC_DATE_SIZE && read_name(at, day_names, 7, &weekday) &&
           memcmp(at + 3, ", ", 2) == 0 && read_two(at + 5, &date->day) && at[7] == ' ' &&
           read_name(at + 8, month_names, 12, &date->month) && at[11] == ' ' &&
           read_year(at + 12, date) && at[16] == ' ' && read_clock(at + 17, date) &&
           memcmp(at + 25, " GMT", 4) == 0;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT": a year that looks more than 50 years ahead is past. Two digits
 * are read against 2026, which is right until those 50 years are over. */
static bool read_rfc850(struct slice text, struct date *date)
{
    const char *comma = memchr(text.data, ',', text.size);
    int weekday, year;
    if (comma == NULL || comma - text.data < 6 || text.size - (size_t)(comma - text.data) != 24 ||
        !read_name(text.data, day_names, 7, &weekday))
        return false;
    const char *at = comma + 2;
    bool valid = at[-1] == ' ' && read_two(at, &date->day) && at[2] == '-' &&
                 read_name(at + 3, month_names, 12, &date->month) && at[6] == '-' &&
                 read_two(at + 7, &year) && at[9] == ' ' && read_clock(at + 10, date) &&
                 memcmp(at + 18, " GMT", 4) == 0;
    if (valid)
        date->year = year + (year > 76 ? 1900 : 2000);
    return valid;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool read_asctime(struct slice text, struct date *date)
{
    const char *at = text.data;
    int weekday;
    if (text.size != 24 || !read_name(at, day_names, 7, &weekday) || at[3] != ' ' ||
        !read_name(at + 4, month_names, 12, &date->month) || at[7] != ' ' || at[10] != ' ' ||
        !read_clock(at + 11, date) || at[19] != ' ' || !read_year(at + 20, date))
        return false;
    char day[2] = {at[8] == ' ' ? '0' : at[8], at[9]};
    return read_two(day, &date->day);
}

bool static_date_read(struct slice text, int64_t *seconds)
{
    struct date date;
    if (!read_fixdate(text, &date) && !read_rfc850(text, &date) && !read_asctime(text, &date))
        return false;
    if (date.day < 1 || date.day > 31 || date.hour > 23 || date.minute > 59 || date.second > 60)
        return false; /* 60: a leap second */
    *seconds = days_of(date.year, date.month, date.day) * 86400 + date.hour * 3600 +
               date.minute * 60 + date.second;
    return true;
}
