// A pointer argument of a kernel, on the host: it knows the allocation that it points into and what was touched of it.
#pragma once

struct Reach {
    char* host;  // where the memory really is
    long long first, end;  // bytes that may be touched, from `host` on; both 0 where there is no such allocation
    long long read_low, read_high, write_low, write_high;  // what was
    long long outside;  // where the first access outside was
};
struct Outside {};

template <class T> struct Plain { typedef T type; enum { constant = false }; };
template <class T> struct Plain<const T> { typedef T type; enum { constant = true }; };

template <class T> struct Place {
    T* at;
    Reach* reach;
    long long offset;
    operator T() const {
        if (offset < reach->read_low) reach->read_low = offset;
        if (offset + (long long)sizeof(T) > reach->read_high) reach->read_high = offset + (long long)sizeof(T);
        return *at;
    }
    T operator=(T value) const {
        if (offset < reach->write_low) reach->write_low = offset;
        if (offset + (long long)sizeof(T) > reach->write_high) reach->write_high = offset + (long long)sizeof(T);
        return *at = value;
    }
    T operator+=(T value) const { return *this = T(*this) + value; }
};

template <class T> struct Span {
    typedef typename Plain<T>::type Value;
    Reach* reach;
    Place<Value> place(long long index) const {
        const long long offset = index * (long long)sizeof(Value);
        if (offset < reach->first || offset + (long long)sizeof(Value) > reach->end) {
            reach->outside = offset;
            throw Outside();
        }
        return {reinterpret_cast<Value*>(reach->host + offset), reach, offset};
    }
    template <bool constant, class = void> struct Result { typedef Value type; };
    template <class none> struct Result<false, none> { typedef Place<Value> type; };
    typedef typename Result<Plain<T>::constant>::type Given;
    Given operator[](long long index) const { return place(index); }
    Given operator*() const { return place(0); }
};
