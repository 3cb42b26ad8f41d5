/* SPDX-License-Identifier: MIT
 * The timer wheel of timer.h. */
#include "base/timer.h"

static int64_t tick_after(int64_t deadline_ns)
{
    return (deadline_ns >> TIMER_TICK_SHIFT) + 1;
}

void timer_wheel_init(struct timer_wheel *wheel, int64_t now_ns)
{
    *wheel = (struct timer_wheel){.tick = now_ns >> TIMER_TICK_SHIFT};
}

void timer_init(struct timer *timer, timer_fire_fn *fire)
{
    *timer = (struct timer){.fire = fire};
}

static void link_in(struct timer_wheel *wheel, struct timer *timer)
{
    size_t slot = (size_t)timer->tick % TIMER_SLOTS;
    struct timer **head = &wheel->slots[slot];
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    *head = timer;
    wheel->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static void unlink_from(struct timer_wheel *wheel, struct timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    timer->link = NULL;
    size_t slot = (size_t)timer->tick % TIMER_SLOTS;
    if (wheel->slots[slot] == NULL)
        wheel->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

void timer_set(struct timer_wheel *wheel, struct timer *timer, int64_t deadline_ns)
{
    assert(timer->fire != NULL);
    timer->deadline_ns = deadline_ns;
    int64_t tick = tick_after(deadline_ns);
    if (timer->link != NULL) {
        if (tick >= timer->tick)
            return; /* the common case: it is put further back when its slot comes round */
        unlink_from(wheel, timer);
    }
    timer->tick = tick > wheel->tick ? tick : wheel->tick;
    link_in(wheel, timer);
}

void timer_clear(struct timer_wheel *wheel, struct timer *timer)
{
    if (timer->link != NULL)
        unlink_from(wheel, timer);
}

int64_t timer_wheel_next(const struct timer_wheel *wheel)
{
    for (int64_t ahead = 0; ahead < TIMER_SLOTS;) {
        size_t slot = (size_t)(wheel->tick + ahead) % TIMER_SLOTS;
        uint64_t word = wheel->occupied[slot / 64] >> (slot % 64);
        if (word != 0)
            return (wheel->tick + ahead + __builtin_ctzll(word)) << TIMER_TICK_SHIFT;
        ahead += 64 - (int64_t)(slot % 64);
    }
    return NEVER;
}

static void run_slot(struct timer_wheel *wheel, size_t slot, int64_t now_ns)
{
    /* Take the whole list first: what fires may link new timers into this very slot. */
    struct timer *list = wheel->slots[slot];
    wheel->slots[slot] = NULL;
    wheel->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    if (list != NULL)
        list->link = &list;
    while (list != NULL) {
        struct timer *timer = list;
        list = timer->next;
        if (list != NULL)
            list->link = &list;
        timer->link = NULL;
        if (timer->deadline_ns < now_ns)
            timer->fire(timer, now_ns);
        else
            timer_set(wheel, timer, timer->deadline_ns);
    }
}

void timer_wheel_run(struct timer_wheel *wheel, int64_t now_ns)
{
    int64_t last = now_ns >> TIMER_TICK_SHIFT;
    if (last - wheel->tick >= TIMER_SLOTS) /* after a long stop one turn visits every slot */
        wheel->tick = last - TIMER_SLOTS + 1;
    while (wheel->tick <= last) {
        size_t slot = (size_t)wheel->tick % TIMER_SLOTS;
        wheel->tick++;
        if (wheel->slots[slot] != NULL)
            run_slot(wheel, slot, now_ns);
    }
}
